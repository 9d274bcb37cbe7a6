"""The training report: what it says (`contents`), how that is found out (`assembly`), and its page."""
