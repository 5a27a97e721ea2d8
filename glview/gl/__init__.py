"""EGL and OpenGL: textures, imports, drawing. No D-Bus here."""
