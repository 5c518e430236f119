"""Hook points on any ``nn.Module``, without changing it; canonical names through model families."""
