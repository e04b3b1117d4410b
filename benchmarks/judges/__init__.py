"""Networks that nobody here trained, and what they see in a translated night. None of them is shipped."""
