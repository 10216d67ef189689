"""Work on several machines: units, the engines that run them, and the process that runs one.

There is no scheduler here: an engine hands commands to whatever the site has, each command resumes what is there, and
the truth is in the database.
"""
