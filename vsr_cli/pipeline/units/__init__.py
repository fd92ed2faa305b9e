"""Videos in units of whole shots, each computed by whoever is free, on this machine or others."""
