"""The Python interface: thin functions over the rooms that do the work, named in `fusestack`, loaded one by one."""
