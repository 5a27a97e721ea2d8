"""A Linux guest that flips pages through KMS, all of whose pixels are known (scripts/guest)."""
