"""The clips tab: a table of all stored clips, changes to many of them, and the drawer that opens one."""
