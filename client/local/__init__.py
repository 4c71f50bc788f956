"""The whole service on this machine, as child processes of ours."""
