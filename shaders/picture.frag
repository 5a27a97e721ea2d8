// The guest's picture: opaque, whatever its fourth channel holds.
// u_inner keeps filtering inside the scanout where it is a part of a larger
// buffer; u_light dims the last picture of a VM that has gone.

uniform SAMPLER u_texture;
uniform vec4 u_inner;  // smallest and largest texture coordinates to look at
uniform float u_light;

in vec2 v_texel;
out vec4 f_color;

void main() {
    vec2 texel = clamp(v_texel, u_inner.xy, u_inner.zw);
    f_color = vec4(texture(u_texture, texel).rgb * u_light, 1.0);
}
