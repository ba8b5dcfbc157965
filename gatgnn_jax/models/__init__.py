"""The networks: what they have in common, GATGNN and its parts, CGCNN, MEGNet, ensembles."""
