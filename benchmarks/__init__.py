"""What a hook costs: ratios measured in one process, against plain torch and against peers."""
