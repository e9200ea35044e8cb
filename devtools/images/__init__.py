"""`./dev images`: builds the container images without a container engine, and checks that they work."""
