"""What the commands do once their options are read: imported then, as it takes a second or two."""
