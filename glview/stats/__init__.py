"""What becomes of each update, in figures: for `--stats`, the HUD and `--trace`."""
