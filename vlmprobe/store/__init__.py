"""The database, the files beside it and MLflow. Knows no model.

Import from the modules: the package itself stays empty, so that a command pays only for what it uses.
"""
