"""What meets users where they are: one module for each package that reads and writes .imf files through this one."""
