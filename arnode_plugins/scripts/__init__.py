"""Programs that are copied into task folders: each runs somebody's evaluator and tells figures."""
