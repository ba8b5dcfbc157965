"""Pictures and web pages."""
