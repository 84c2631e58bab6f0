"""Clock, files, log files, ports, processes, resources, users."""
