"""What the DAG files of this folder share; holds no DAG itself.

In: connections from the environment, SQL files of this repository. Out: operators, defaults, DAGs that are described by data.
Invariant: importing it opens no connection and computes nothing: DAG files are parsed all the time.
"""
