"""Which functions multiply matrices: looked up in real libraries, and in imitations of others.

The imitations stand for conda's, Apple's and Windows' libraries, with functions of ctypes that have
the names and the integers of the real ones.
"""
