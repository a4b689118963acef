"""The application on the platform: projects, and what agents may do to them."""
