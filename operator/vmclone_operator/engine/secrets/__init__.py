"""Every Secret that is read or made: the folder to read in an audit."""
