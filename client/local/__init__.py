"""The whole service on this machine, as child processes of this one."""
