"""The peers that the rows `peer_…` measure beside ours: their environments, and the programs that run in them."""
