import django.contrib.auth.models
import django.contrib.auth.validators
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
    ]

    operations = [
        migrations.CreateModel(
            name='User',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('password', models.CharField(max_length=128, verbose_name='password')),
                ('last_login', models.DateTimeField(blank=True, null=True, verbose_name='last login')),
                ('is_superuser', models.BooleanField(default=False, help_text='Designates that this user has all permissions without explicitly assigning them.', verbose_name='superuser status')),
                ('username', models.CharField(error_messages={'unique': 'A user with that username already exists.'}, help_text='Required. 150 characters or fewer. Letters, digits and @/./+/-/_ only.', max_length=150, unique=True, validators=[django.contrib.auth.validators.UnicodeUsernameValidator()], verbose_name='username')),
                ('first_name', models.CharField(blank=True, max_length=150, verbose_name='first name')),
                ('last_name', models.CharField(blank=True, max_length=150, verbose_name='last name')),
                ('email', models.EmailField(blank=True, max_length=254, verbose_name='email address')),
                ('is_staff', models.BooleanField(default=False, help_text='Designates whether the user can log into this admin site.', verbose_name='staff status')),
                ('is_active', models.BooleanField(default=True, help_text='Designates whether this user should be treated as active. Unselect this instead of deleting accounts.', verbose_name='active')),
                ('date_joined', models.DateTimeField(default=django.utils.timezone.now, verbose_name='date joined')),
                ('name', models.CharField(blank=True, max_length=150)),
                ('is_simulated', models.BooleanField(default=False)),
                ('groups', models.ManyToManyField(blank=True, help_text='The groups this user belongs to. A user will get all permissions granted to each of their groups.', related_name='user_set', related_query_name='user', to='auth.group', verbose_name='groups')),
                ('user_permissions', models.ManyToManyField(blank=True, help_text='Specific permissions for this user.', related_name='user_set', related_query_name='user', to='auth.permission', verbose_name='user permissions')),
            ],
            options={
                'verbose_name': 'user',
                'verbose_name_plural': 'users',
                'abstract': False,
            },
            managers=[
                ('objects', django.contrib.auth.models.UserManager()),
            ],
        ),
        migrations.CreateModel(
            name='Session',
            fields=[
                ('session_key', models.CharField(max_length=40, primary_key=True, serialize=False, verbose_name='session key')),
                ('session_data', models.TextField(verbose_name='session data')),
                ('expire_date', models.DateTimeField(db_index=True, verbose_name='expire date')),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='sessions', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'session',
                'verbose_name_plural': 'sessions',
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='Project',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('slug', models.SlugField(max_length=60, unique=True)),
                ('name', models.CharField(max_length=150)),
                ('description', models.TextField(blank=True)),
                ('base_policy', models.CharField(blank=True, max_length=300)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name='Membership',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('role', models.CharField(choices=[('annotator', 'Annotator'), ('reviewer', 'Reviewer'), ('researcher', 'Researcher'), ('admin', 'Admin')], max_length=12)),
                ('joined_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('deactivated_at', models.DateTimeField(blank=True, null=True)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='memberships', to=settings.AUTH_USER_MODEL)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='memberships', to='training.project')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('project', 'user'), name='one_role_a_person_and_project'), models.CheckConstraint(condition=models.Q(('role__in', ['annotator', 'reviewer', 'researcher', 'admin'])), name='membership_role_is_known')],
            },
        ),
        migrations.CreateModel(
            name='Invitation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('role', models.CharField(choices=[('annotator', 'Annotator'), ('reviewer', 'Reviewer'), ('researcher', 'Researcher'), ('admin', 'Admin')], max_length=12)),
                ('meant_for', models.CharField(blank=True, max_length=150)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('expires_at', models.DateTimeField()),
                ('accepted_at', models.DateTimeField(blank=True, null=True)),
                ('revoked_at', models.DateTimeField(blank=True, null=True)),
                ('accepted_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('created_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='invitations', to='training.project')),
            ],
            options={
                'indexes': [models.Index(fields=['project', '-id'], name='invitation_newest')],
                'constraints': [models.CheckConstraint(condition=models.Q(('role__in', ['annotator', 'reviewer', 'researcher', 'admin'])), name='invitation_role_is_known'), models.CheckConstraint(condition=models.Q(('accepted_at__isnull', True), ('revoked_at__isnull', True), _connector='OR'), name='what_is_revoked_is_not_accepted')],
            },
        ),
        migrations.CreateModel(
            name='Deed',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('did', models.CharField(max_length=64)),
                ('about', models.CharField(blank=True, max_length=200)),
                ('details', models.JSONField(blank=True, default=dict)),
                ('at', models.DateTimeField(default=django.utils.timezone.now)),
                ('by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='deeds', to=settings.AUTH_USER_MODEL)),
                ('to', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='deeds', to='training.project')),
            ],
            options={
                'indexes': [models.Index(fields=['project', '-id'], name='deed_newest'), models.Index(fields=['project', 'by', '-id'], name='deed_newest_of_a_person'), models.Index(fields=['project', 'did', '-id'], name='deed_newest_of_a_verb')],
            },
        ),
        migrations.CreateModel(
            name='Schedule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=150)),
                ('kind', models.CharField(max_length=64)),
                ('config', models.JSONField(default=dict)),
                ('inputs', models.JSONField(default=dict)),
                ('trigger', models.CharField(choices=[('at', 'At'), ('cron', 'Cron'), ('after', 'After'), ('measure', 'Measure')], max_length=8)),
                ('at', models.DateTimeField(blank=True, null=True)),
                ('cron', models.CharField(blank=True, max_length=100)),
                ('timezone', models.CharField(blank=True, default='UTC', max_length=64)),
                ('after_kind', models.CharField(blank=True, max_length=64)),
                ('measure', models.CharField(blank=True, max_length=100)),
                ('at_least', models.FloatField(blank=True, null=True)),
                ('enabled', models.BooleanField(default=True)),
                ('armed', models.BooleanField(default=True)),
                ('next_at', models.DateTimeField(blank=True, null=True)),
                ('last_fired_at', models.DateTimeField(blank=True, null=True)),
                ('enabled_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('created_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='schedules', to=settings.AUTH_USER_MODEL)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='schedules', to='training.project')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('enabled', True), ('next_at__isnull', False)), fields=['next_at'], name='schedule_due')],
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('at__isnull', False), ('trigger', 'at')), models.Q(('trigger', 'cron'), models.Q(('cron', ''), _negated=True)), models.Q(('trigger', 'after'), models.Q(('after_kind', ''), _negated=True)), models.Q(('at_least__isnull', False), ('trigger', 'measure'), models.Q(('measure', ''), _negated=True)), _connector='OR'), name='schedule_says_when')],
            },
        ),
        migrations.CreateModel(
            name='Job',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(max_length=64)),
                ('name', models.CharField(blank=True, max_length=200)),
                ('config', models.JSONField(default=dict)),
                ('seed', models.PositiveBigIntegerField(default=1)),
                ('requested_inputs', models.JSONField(default=dict)),
                ('inputs', models.JSONField(default=dict)),
                ('state', models.CharField(choices=[('waiting', 'Waiting'), ('queued', 'Queued'), ('running', 'Running'), ('interrupted', 'Interrupted'), ('paused', 'Paused'), ('succeeded', 'Succeeded'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], default='queued', max_length=12)),
                ('attempt_number', models.PositiveIntegerField(default=0)),
                ('cancel_requested_at', models.DateTimeField(blank=True, null=True)),
                ('heartbeat_at', models.DateTimeField(blank=True, null=True)),
                ('rung_at', models.DateTimeField(blank=True, null=True)),
                ('progress_done', models.FloatField(blank=True, null=True)),
                ('progress_total', models.FloatField(blank=True, null=True)),
                ('progress_unit', models.CharField(blank=True, max_length=40)),
                ('error_code', models.CharField(blank=True, max_length=64)),
                ('error_message', models.TextField(blank=True)),
                ('output_digest', models.CharField(blank=True, max_length=71)),
                ('occurrence', models.CharField(blank=True, max_length=64)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('queued_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('started_at', models.DateTimeField(blank=True, null=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='jobs', to=settings.AUTH_USER_MODEL)),
                ('triggered_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='triggered', to='training.job')),
                ('waits_for', models.ManyToManyField(blank=True, related_name='awaited_by', to='training.job')),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='jobs', to='training.project')),
                ('schedule', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='jobs', to='training.schedule')),
            ],
            options={
                'indexes': [models.Index(fields=['project', '-id'], name='job_newest_in_project'), models.Index(condition=models.Q(('state__in', ['waiting', 'queued', 'running', 'interrupted'])), fields=['state'], name='job_live')],
                'constraints': [models.CheckConstraint(condition=models.Q(('state__in', ['waiting', 'queued', 'running', 'interrupted', 'paused', 'succeeded', 'failed', 'cancelled'])), name='job_state_is_known'), models.CheckConstraint(condition=models.Q(models.Q(('finished_at__isnull', False), ('state__in', ['succeeded', 'failed', 'cancelled'])), models.Q(models.Q(('state__in', ['succeeded', 'failed', 'cancelled']), _negated=True), ('finished_at__isnull', True)), _connector='OR'), name='job_is_over_when_it_has_finished'), models.CheckConstraint(condition=models.Q(models.Q(('state', 'running'), _negated=True), models.Q(('attempt_number__gt', 0), ('heartbeat_at__isnull', False)), _connector='OR'), name='running_job_has_an_attempt'), models.CheckConstraint(condition=models.Q(('output_digest', ''), ('output_digest__startswith', 'sha256:'), _connector='OR'), name='job_output_is_a_digest'), models.UniqueConstraint(condition=models.Q(('occurrence', ''), _negated=True), fields=('schedule', 'occurrence'), name='schedule_fires_once_an_occurrence')],
            },
        ),
        migrations.CreateModel(
            name='Dataset',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('prompts', 'Prompts'), ('demonstrations', 'Demonstrations'), ('rankings', 'Rankings'), ('text', 'Text'), ('samples', 'Samples'), ('rewards', 'Rewards')], max_length=16)),
                ('name', models.CharField(max_length=150)),
                ('version', models.PositiveIntegerField()),
                ('digest', models.CharField(db_index=True, max_length=71)),
                ('count', models.PositiveBigIntegerField()),
                ('card', models.JSONField(default=dict)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('job', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='dataset', to='training.job')),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='datasets', to='training.project')),
            ],
            options={
                'indexes': [models.Index(fields=['project', 'kind', '-id'], name='dataset_newest')],
                'constraints': [models.UniqueConstraint(fields=('project', 'kind', 'name', 'version'), name='one_dataset_a_version'), models.CheckConstraint(condition=models.Q(('digest__startswith', 'sha256:')), name='dataset_has_a_digest')],
            },
        ),
        migrations.CreateModel(
            name='Checkpoint',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('policy', 'Policy'), ('reward', 'Reward')], max_length=8)),
                ('name', models.CharField(max_length=150)),
                ('digest', models.CharField(db_index=True, max_length=71)),
                ('card', models.JSONField(default=dict)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('parents', models.ManyToManyField(blank=True, related_name='children', to='training.checkpoint')),
                ('job', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='checkpoint', to='training.job')),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='checkpoints', to='training.project')),
            ],
            options={
                'indexes': [models.Index(fields=['project', 'kind', '-id'], name='checkpoint_newest')],
                'constraints': [models.UniqueConstraint(fields=('project', 'kind', 'name'), name='one_checkpoint_a_name'), models.CheckConstraint(condition=models.Q(('kind__in', ['policy', 'reward'])), name='checkpoint_kind_is_known'), models.CheckConstraint(condition=models.Q(('digest__startswith', 'sha256:')), name='checkpoint_has_a_digest')],
            },
        ),
        migrations.CreateModel(
            name='Champion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('policy', 'Policy'), ('reward', 'Reward')], max_length=8)),
                ('since', models.DateTimeField(default=django.utils.timezone.now)),
                ('until', models.DateTimeField(blank=True, null=True)),
                ('by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('checkpoint', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='reigns', to='training.checkpoint')),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='champions', to='training.project')),
            ],
            options={
                'constraints': [models.UniqueConstraint(condition=models.Q(('until__isnull', True)), fields=('project', 'kind'), name='one_champion_a_kind'), models.CheckConstraint(condition=models.Q(('until__isnull', True), ('until__gte', models.F('since')), _connector='OR'), name='reign_ends_after_it_began')],
            },
        ),
        migrations.CreateModel(
            name='Attempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('worker', models.CharField(max_length=200)),
                ('host', models.CharField(max_length=200)),
                ('boot_id', models.CharField(max_length=64)),
                ('pid', models.PositiveIntegerField(blank=True, null=True)),
                ('pgid', models.PositiveIntegerField(blank=True, null=True)),
                ('started_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('outcome', models.CharField(blank=True, choices=[('succeeded', 'Succeeded'), ('failed', 'Failed'), ('cancelled', 'Cancelled'), ('interrupted', 'Interrupted'), ('paused', 'Paused'), ('lost', 'Lost')], max_length=12)),
                ('job', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='attempts', to='training.job')),
            ],
            options={
                'indexes': [models.Index(fields=['host', 'boot_id'], name='attempt_of_this_boot')],
                'constraints': [models.UniqueConstraint(fields=('job', 'number'), name='one_attempt_a_number'), models.UniqueConstraint(condition=models.Q(('outcome', '')), fields=('job',), name='one_live_attempt_a_job'), models.CheckConstraint(condition=models.Q(models.Q(('ended_at__isnull', True), ('outcome', '')), models.Q(models.Q(('outcome', ''), _negated=True), ('ended_at__isnull', False)), _connector='OR'), name='attempt_ends_with_an_outcome')],
            },
        ),
        migrations.CreateModel(
            name='Metric',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100)),
                ('step', models.BigIntegerField()),
                ('value', models.FloatField(null=True)),
                ('job', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='metrics', to='training.job')),
            ],
            options={
                'indexes': [models.Index(fields=['job', 'id'], name='metrics_since')],
                'constraints': [models.UniqueConstraint(fields=('job', 'name', 'step'), name='one_value_a_step')],
            },
        ),
        migrations.AddField(
            model_name='project',
            name='members',
            field=models.ManyToManyField(related_name='projects', through='training.Membership', to=settings.AUTH_USER_MODEL),
        ),
    ]
