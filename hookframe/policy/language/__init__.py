"""What a rule can say: the facts there are, the conditions on them, and which condition follows from which.

Door: ``vocabulary``, ``conditions``, ``facts``, ``implication``. Imports no other room of the policy.
"""
