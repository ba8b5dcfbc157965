"""What a program runs on: the device that JAX chose, meshes of devices, processes side by side."""
