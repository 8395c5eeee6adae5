"""What the SDK costs, as ratios to what the same work costs without it. See README.md."""
