// A picture with fewer than eight bits a channel, widened as QEMU's own
// screenshots are: by repeating the high bits. Samplers divide instead.

uniform SAMPLER u_texture;
uniform vec4 u_levels;  // the largest value of each channel

in vec2 v_texel;
out vec4 f_color;

void main() {
    vec3 steps = u_levels.rgb + 1.0;
    vec3 value = floor(texture(u_texture, v_texel).rgb * u_levels.rgb + 0.5);
    vec3 wide = value * (256.0 / steps) + floor(value * 256.0 / (steps * steps));
    f_color = vec4(wide / 255.0, 1.0);
}
