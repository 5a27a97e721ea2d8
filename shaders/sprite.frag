// Pointer sprite and text: premultiplied alpha, blended over the picture.

uniform SAMPLER u_texture;

in vec2 v_texel;
out vec4 f_color;

void main() {
    f_color = texture(u_texture, v_texel);
}
