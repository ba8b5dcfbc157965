"""What talks to the network: the Materials Project, JARVIS, Matbench."""
