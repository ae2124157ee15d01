-- store::writes::check_writes: limits memory so that the next statement of the transaction writes a temporary file.
set local work_mem = '64kB'
