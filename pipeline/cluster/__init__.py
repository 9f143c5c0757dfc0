"""The nodes of a Ray cluster in place of this machine's worker processes; only ray_cluster.py knows ray."""
