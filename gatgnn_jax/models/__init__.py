"""The networks: what they share, GATGNN and its parts, gated GATGNN, CGCNN, MEGNet, ensembles."""
