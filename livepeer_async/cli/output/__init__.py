"""Terminal output: progress, messages, tables and reports."""
