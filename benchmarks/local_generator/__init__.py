"""A generator that is local by construction, beside the general model's."""
