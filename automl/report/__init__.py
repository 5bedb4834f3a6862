"""What people see: console tables, plots, the HTML page."""
