"""What the classes of several frameworks share. Nothing here imports a framework.

A framework's own folder translates its names, types and callbacks. Everything else it needs is here, or on `Index`.
"""
