"""vsr: motion-guided latent diffusion video upscaling."""

__version__ = "0.1.0"
