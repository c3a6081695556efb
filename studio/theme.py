"""The studio's own look: warm greys, one teal accent, the system's fonts."""

from pathlib import Path

import gradio as gr
from gradio.themes.utils import colors, sizes

STYLE = Path(__file__).parent / "style.css"
BEHAVIOUR = Path(__file__).parent / "behaviour.js"

SANS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Noto Sans", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace"]


def studio_theme() -> gr.themes.Base:
    """Light and dark. Every pair of text and ground here has a contrast of at least 4.5 to 1."""
    return gr.themes.Base(
        primary_hue=colors.teal, secondary_hue=colors.teal, neutral_hue=colors.stone, text_size=sizes.text_md,
        spacing_size=sizes.spacing_md, radius_size=sizes.radius_md, font=SANS, font_mono=MONO,
    ).set(
        body_background_fill="#faf9f7", body_background_fill_dark="#161412",
        body_text_color="#1c1917", body_text_color_dark="#ece9e4",
        body_text_color_subdued="#5f5952", body_text_color_subdued_dark="#a8a29a",
        background_fill_primary="#ffffff", background_fill_primary_dark="#1f1c19",
        background_fill_secondary="#f4f2ee", background_fill_secondary_dark="#292521",
        border_color_primary="#dedad3", border_color_primary_dark="#3a352f",
        border_color_accent="#0f766e", border_color_accent_dark="#2dd4bf",
        color_accent="#0f766e", color_accent_soft="#d9efec", color_accent_soft_dark="#123b37",
        link_text_color="#0f766e", link_text_color_dark="#4fd8c6",
        link_text_color_hover="#115e59", link_text_color_hover_dark="#7ee7d9",
        link_text_color_visited="#0f766e", link_text_color_visited_dark="#4fd8c6",
        block_background_fill="transparent", block_background_fill_dark="transparent", block_border_width="0px",
        block_border_width_dark="0px", block_shadow="none", block_padding="0px", block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent", block_label_border_width="0px", block_label_text_color="*body_text_color",
        block_title_text_color="*body_text_color", block_title_text_color_dark="*body_text_color",
        block_title_text_weight="600", block_title_text_size="*text_sm", block_info_text_color="*body_text_color_subdued",
        block_info_text_color_dark="*body_text_color_subdued", block_info_text_size="*text_sm",
        form_gap_width="0px", layout_gap="14px", panel_border_width="0px",
        input_background_fill="#ffffff", input_background_fill_dark="#191714", input_border_width="1px",
        input_border_color="#8f8880", input_border_color_dark="#7b746b", input_shadow="none", input_shadow_dark="none",
        input_border_color_focus="#0f766e", input_border_color_focus_dark="#2dd4bf",
        input_shadow_focus="0 0 0 1px #0f766e", input_shadow_focus_dark="0 0 0 1px #2dd4bf",
        input_placeholder_color="#6b645c", input_placeholder_color_dark="#a09990", input_padding="8px 10px",
        button_primary_background_fill="#0f766e", button_primary_background_fill_dark="#2dd4bf",
        button_primary_background_fill_hover="#115e59", button_primary_background_fill_hover_dark="#5eead4",
        button_primary_text_color="#ffffff", button_primary_text_color_dark="#042f2e",
        button_primary_border_color="transparent", button_primary_border_color_dark="transparent",
        button_secondary_background_fill="#ffffff", button_secondary_background_fill_dark="#292521",
        button_secondary_background_fill_hover="#f4f2ee", button_secondary_background_fill_hover_dark="#35302b",
        button_secondary_border_color="#8f8880", button_secondary_border_color_dark="#7b746b",
        button_secondary_text_color="#1c1917", button_secondary_text_color_dark="#ece9e4",
        button_border_width="1px", button_border_width_dark="1px", button_transform_hover="none", button_transform_active="none",
        button_primary_shadow="none", button_primary_shadow_hover="none", button_primary_shadow_active="none",
        button_secondary_shadow="none", button_secondary_shadow_hover="none", button_secondary_shadow_active="none",
        button_large_text_weight="600", button_medium_text_weight="600", button_small_text_weight="600",
        slider_color="#0f766e", slider_color_dark="#2dd4bf",
        checkbox_background_color_selected="#0f766e", checkbox_background_color_selected_dark="#14b8a6",
        checkbox_border_color="#8f8880", checkbox_border_color_dark="#7b746b",
        checkbox_border_color_selected="#0f766e", checkbox_border_color_selected_dark="#14b8a6",
        checkbox_label_background_fill="#ffffff", checkbox_label_background_fill_dark="#1f1c19",
        checkbox_label_background_fill_hover="#f4f2ee", checkbox_label_background_fill_hover_dark="#292521",
        checkbox_label_background_fill_selected="#e9f5f3", checkbox_label_background_fill_selected_dark="#12312e",
        checkbox_label_border_width="1px", checkbox_label_border_width_dark="1px",
        checkbox_label_border_color="#dedad3", checkbox_label_border_color_dark="#3a352f",
        checkbox_label_border_color_selected="#0f766e", checkbox_label_border_color_selected_dark="#2dd4bf",
        checkbox_label_text_color_selected="#1c1917", checkbox_label_text_color_selected_dark="#ece9e4",
        checkbox_label_text_weight="400", checkbox_label_shadow="none",
        error_background_fill="#fdf3f2", error_background_fill_dark="#2e1917", error_border_color="#b42318",
        error_border_color_dark="#f97066", error_text_color="#8f1d14", error_text_color_dark="#fda29b",
    )


def page_head() -> str:
    """The style and the script of every page. Not by Gradio's `css`: it rewrites selectors, and breaks those with commas in
    brackets."""
    return f"<style>{STYLE.read_text('utf-8')}</style><script>{BEHAVIOUR.read_text('utf-8')}</script>"
