"""Pictures of images and of configurations."""
