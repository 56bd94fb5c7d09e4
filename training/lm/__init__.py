"""Language models in plain PyTorch: no Django, no platform, only tensors and files."""
