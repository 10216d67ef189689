"""Files of rows: how they are read, whatever the rows say."""
