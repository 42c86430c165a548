"""HTTP under every face: bounds, bodies, ranges, responses, what is observed."""
