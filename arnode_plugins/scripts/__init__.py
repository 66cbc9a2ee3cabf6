"""Programs that are copied into task folders. Each runs an evaluator and prints its figures."""
