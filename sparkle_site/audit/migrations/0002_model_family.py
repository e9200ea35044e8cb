import guilds.bounded_fields
from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('sparkle_audit', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='historicalmodelprofile',
            name='family',
            field=guilds.bounded_fields.ChoiceField(choices=[('stable-diffusion', 'Stable Diffusion 1, 2, XL, LCM'), ('sd3', 'Stable Diffusion 3, 3.5'), ('flux', 'FLUX.1'), ('flux2-klein', 'FLUX.2 klein'), ('z-image', 'Z-Image'), ('qwen-image', 'Qwen-Image'), ('sana', 'Sana'), ('pixart-sigma', 'PixArt-Sigma'), ('chroma', 'Chroma'), ('lumina2', 'Lumina-Image 2.0'), ('whole-call', 'Another text-to-image pipeline (whole calls)')], db_default='stable-diffusion', default='stable-diffusion', help_text='Decides which samplers and options members can choose.', max_length=40),
        ),
        migrations.AddField(
            model_name='historicalmodelprofile',
            name='quantization',
            field=guilds.bounded_fields.ChoiceField(blank=True, choices=[('', 'None: the weights as published'), ('int8-encoders', 'int8 text encoders'), ('int8', 'int8 text encoders and model')], db_default='', default='', help_text='Smaller weights for a GPU that could not hold the model. Images change a little.', max_length=16),
        ),
        # The database knows no choices: only Django's state changes.
        migrations.SeparateDatabaseAndState(state_operations=[
        migrations.AlterField(
            model_name='historicalmodelprofile',
            name='default_sampler',
            field=guilds.bounded_fields.ChoiceField(choices=[('k_lms', 'LMS (k_lms)'), ('k_euler_a', 'Euler ancestral (k_euler_a)'), ('PLMS', 'PLMS'), ('DDIM', 'DDIM'), ('k_dpm_2_a', 'DPM2 ancestral (k_dpm_2_a)'), ('k_dpm_2', 'DPM2 (k_dpm_2)'), ('k_euler', 'Euler (k_euler)'), ('k_heun', 'Heun (k_heun)'), ('dpmpp_2m_karras', 'DPM++ 2M Karras'), ('unipc', 'UniPC'), ('euler', 'Euler, trailing'), ('lcm', 'LCM (few steps)'), ('flow_euler', 'Euler (flow models)'), ('flow_dpmpp_2m', 'DPM++ 2M (flow models)'), ('flow_unipc', 'UniPC (flow models)'), ('own', "The model's own")], default='k_lms', max_length=40),
        ),
        ]),
    ]
