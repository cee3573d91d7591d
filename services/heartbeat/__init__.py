"""The heartbeat service: beats on every network, and the judgement whether the peer is gone."""
