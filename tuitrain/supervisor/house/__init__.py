"""What must vanish with a run: its runtime folder, marks, and what it could leave behind."""
