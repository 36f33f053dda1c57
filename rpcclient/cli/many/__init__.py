"""Commands on many nodes: ``--on``, how answers are printed side by side or folded, and what is said in the end."""
