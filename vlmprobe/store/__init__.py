"""The database, the files next to it and MLflow. Imports no model code.

Import from the modules. The package itself stays empty, so a command loads only what it uses.
"""
