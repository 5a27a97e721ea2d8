// A rectangle of the target, textured with a rectangle of the source.
// Four vertices without any buffer: the corner is in the vertex number.

uniform vec4 u_target;  // left, bottom, width, height in clip space
uniform vec4 u_source;  // left, top, width, height in texture coordinates

out vec2 v_texel;

void main() {
    vec2 corner = vec2(float(gl_VertexID & 1), float(gl_VertexID >> 1));
    gl_Position = vec4(u_target.xy + corner * u_target.zw, 0.0, 1.0);
    v_texel = u_source.xy + corner * u_source.zw;
}
